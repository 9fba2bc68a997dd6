; expect: {'0000': 0.125, '0001': 0.125, '0010': 0.125, '1011': 0.125, '0100': 0.125, '1101': 0.125, '1110': 0.125, '1111': 0.125}
define void @main() #0 {
entry:
  call void @__quantum__qis__h__body(ptr null)
  call void @__quantum__qis__h__body(ptr inttoptr (i64 1 to ptr))
  call void @__quantum__qis__h__body(ptr inttoptr (i64 2 to ptr))
  call void @__quantum__qis__mz__body(ptr null, ptr null)
  call void @__quantum__qis__mz__body(ptr inttoptr (i64 1 to ptr), ptr inttoptr (i64 1 to ptr))
  call void @__quantum__qis__mz__body(ptr inttoptr (i64 2 to ptr), ptr inttoptr (i64 2 to ptr))
  %a = call i1 @__quantum__rt__read_result(ptr null)
  %b = call i1 @__quantum__rt__read_result(ptr inttoptr (i64 1 to ptr))
  %c = call i1 @__quantum__rt__read_result(ptr inttoptr (i64 2 to ptr))
  %na = zext i1 %a to i64
  %nb = zext i1 %b to i64
  %nc = zext i1 %c to i64
  %ab = add i64 %na, %nb
  %abc = add i64 %ab, %nc
  %most = icmp ugt i64 %abc, 1
  br i1 %most, label %yes, label %end
yes:
  call void @__quantum__qis__x__body(ptr inttoptr (i64 3 to ptr))
  br label %end
end:
  call void @__quantum__qis__mz__body(ptr inttoptr (i64 3 to ptr), ptr inttoptr (i64 3 to ptr))
  call void @__quantum__rt__array_record_output(i64 4, ptr null)
  call void @__quantum__rt__result_record_output(ptr null, ptr null)
  call void @__quantum__rt__result_record_output(ptr inttoptr (i64 1 to ptr), ptr null)
  call void @__quantum__rt__result_record_output(ptr inttoptr (i64 2 to ptr), ptr null)
  call void @__quantum__rt__result_record_output(ptr inttoptr (i64 3 to ptr), ptr null)
  ret void
}
declare void @__quantum__qis__h__body(ptr)
declare void @__quantum__qis__mz__body(ptr, ptr)
declare void @__quantum__qis__x__body(ptr)
declare void @__quantum__rt__array_record_output(i64, ptr)
declare i1 @__quantum__rt__read_result(ptr)
declare void @__quantum__rt__result_record_output(ptr, ptr)

attributes #0 = { "entry_point" "qir_profiles"="adaptive_profile" "required_num_qubits"="4" "required_num_results"="4" }
