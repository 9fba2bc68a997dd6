; expect: UnsupportedFeature: loop without end
define void @main() #0 {
  br label %a
a:
  call void @__quantum__qis__h__body(ptr inttoptr (i64 0 to ptr))
  br label %a
}
declare void @__quantum__qis__h__body(ptr)

attributes #0 = { "entry_point" "qir_profiles"="adaptive_profile" "required_num_qubits"="3" "required_num_results"="3" }
