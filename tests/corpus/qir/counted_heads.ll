; expect: {'0000': 0.125, '0010': 0.0625, '0011': 0.0625, '0100': 0.0625, '0101': 0.0625, '0110': 0.0625, '0111': 0.0625, '1000': 0.0625, '1001': 0.0625, '1010': 0.0625, '1011': 0.0625, '1100': 0.0625, '1101': 0.0625, '1111': 0.125}
define void @main() #0 {
entry:
  br label %toss
toss:
  %trip = phi i64 [ 0, %entry ], [ %next, %toss ]
  %heads = phi i64 [ 0, %entry ], [ %more, %toss ]
  call void @__quantum__qis__h__body(ptr null)
  %result = inttoptr i64 %trip to ptr
  call void @__quantum__qis__mresetz__body(ptr null, ptr %result)
  %coin = call i1 @__quantum__rt__read_result(ptr %result)
  %one = zext i1 %coin to i64
  %more = add i64 %heads, %one
  %next = add i64 %trip, 1
  %again = icmp ult i64 %next, 3
  br i1 %again, label %toss, label %count
count:
  switch i64 %more, label %some [
    i64 0, label %none
    i64 3, label %all
  ]
none:
  call void @__quantum__qis__x__body(ptr inttoptr (i64 1 to ptr))
  call void @__quantum__qis__x__body(ptr inttoptr (i64 1 to ptr))
  br label %end
all:
  call void @__quantum__qis__x__body(ptr inttoptr (i64 1 to ptr))
  br label %end
some:
  call void @__quantum__qis__h__body(ptr inttoptr (i64 1 to ptr))
  br label %end
end:
  call void @__quantum__qis__mz__body(ptr inttoptr (i64 1 to ptr), ptr inttoptr (i64 3 to ptr))
  call void @__quantum__rt__array_record_output(i64 4, ptr null)
  call void @__quantum__rt__result_record_output(ptr inttoptr (i64 3 to ptr), ptr null)
  call void @__quantum__rt__result_record_output(ptr null, ptr null)
  call void @__quantum__rt__result_record_output(ptr inttoptr (i64 1 to ptr), ptr null)
  call void @__quantum__rt__result_record_output(ptr inttoptr (i64 2 to ptr), ptr null)
  ret void
}
declare i1 @__quantum__rt__read_result(ptr)
declare void @__quantum__qis__mresetz__body(ptr, ptr)
declare void @__quantum__qis__h__body(ptr)
declare void @__quantum__qis__mz__body(ptr, ptr)
declare void @__quantum__qis__x__body(ptr)
declare void @__quantum__rt__array_record_output(i64, ptr)
declare void @__quantum__rt__result_record_output(ptr, ptr)

attributes #0 = { "entry_point" "qir_profiles"="adaptive_profile" "required_num_qubits"="2" "required_num_results"="4" }
