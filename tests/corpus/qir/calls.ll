; expect: {'1': 1.0}
define void @main() #0 {
  %unused = call i64 @twice(ptr null, i64 1)
  call void @once(ptr null)
  call void @__quantum__qis__mz__body(ptr inttoptr (i64 0 to ptr), ptr inttoptr (i64 0 to ptr))
  call void @__quantum__rt__array_record_output(i64 1, ptr null)
  call void @__quantum__rt__result_record_output(ptr inttoptr (i64 0 to ptr), ptr null)
  ret void
}
define i64 @twice(ptr %0, i64 %n) {
  call void @once(ptr %0)
  call void @once(ptr %0)
  %m = mul i64 %n, 2
  ret i64 %m
}
define void @once(ptr %q) {
  call void @__quantum__qis__x__body(ptr %q)
  ret void
}
declare void @__quantum__qis__mz__body(ptr, ptr)
declare void @__quantum__rt__array_record_output(i64, ptr)
declare void @__quantum__rt__result_record_output(ptr, ptr)
declare void @__quantum__qis__x__body(ptr)

attributes #0 = { "entry_point" "qir_profiles"="adaptive_profile" "required_num_qubits"="1" "required_num_results"="1" }
