; expect: {'000': 0.25, '011': 0.25, '101': 0.25, '110': 0.25}
define void @main() #0 {
entry:
  %a = call i1 @coin(ptr null, ptr null)
  %b = call i1 @coin(ptr null, ptr inttoptr (i64 1 to ptr))
  %odd = xor i1 %a, %b
  br i1 %odd, label %flip, label %end
flip:
  call void @__quantum__qis__x__body(ptr inttoptr (i64 1 to ptr))
  br label %end
end:
  call void @__quantum__qis__mz__body(ptr inttoptr (i64 1 to ptr), ptr inttoptr (i64 2 to ptr))
  call void @__quantum__rt__array_record_output(i64 1, ptr null)
  call void @__quantum__rt__result_record_output(ptr inttoptr (i64 2 to ptr), ptr null)
  ret void
}
define i1 @coin(ptr %q, ptr %r) {
entry:
  call void @__quantum__qis__h__body(ptr %q)
  call void @__quantum__qis__mz__body(ptr %q, ptr %r)
  call void @__quantum__qis__reset__body(ptr %q)
  %bit = call i1 @__quantum__rt__read_result(ptr %r)
  ret i1 %bit
}
declare i1 @__quantum__rt__read_result(ptr)
declare void @__quantum__qis__h__body(ptr)
declare void @__quantum__qis__mz__body(ptr, ptr)
declare void @__quantum__qis__reset__body(ptr)
declare void @__quantum__qis__x__body(ptr)
declare void @__quantum__rt__array_record_output(i64, ptr)
declare void @__quantum__rt__result_record_output(ptr, ptr)

attributes #0 = { "entry_point" "qir_profiles"="adaptive_profile" "required_num_qubits"="2" "required_num_results"="3" }
