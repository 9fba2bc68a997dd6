; expect: ProgramError: qubit 7 is outside
define void @main() #0 {
  call void @__quantum__qis__h__body(ptr inttoptr (i64 7 to ptr))
  ret void
}
declare void @__quantum__qis__h__body(ptr)

attributes #0 = { "entry_point" "qir_profiles"="adaptive_profile" "required_num_qubits"="3" "required_num_results"="3" }
