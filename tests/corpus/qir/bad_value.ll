; expect: ParseError: %missing has no value
define void @main() #0 {
  call void @__quantum__qis__rx__body(double %missing, ptr inttoptr (i64 0 to ptr))
  ret void
}
declare void @__quantum__qis__rx__body(double, ptr)

attributes #0 = { "entry_point" "qir_profiles"="adaptive_profile" "required_num_qubits"="3" "required_num_results"="3" }
