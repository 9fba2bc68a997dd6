; expect: {'111': 1.0}
define void @main() #0 {
entry:
  call void @__quantum__qis__x__body(ptr null)
  call void @__quantum__qis__cnot__body(ptr null, ptr inttoptr (i64 1 to ptr))
  call void @__quantum__qis__cnot__body(ptr null, ptr inttoptr (i64 2 to ptr))
  call void @__quantum__qis__x__body(ptr inttoptr (i64 1 to ptr))
  call void @__quantum__qis__cnot__body(ptr null, ptr inttoptr (i64 3 to ptr))
  call void @__quantum__qis__cnot__body(ptr inttoptr (i64 1 to ptr), ptr inttoptr (i64 3 to ptr))
  call void @__quantum__qis__cnot__body(ptr inttoptr (i64 1 to ptr), ptr inttoptr (i64 4 to ptr))
  call void @__quantum__qis__cnot__body(ptr inttoptr (i64 2 to ptr), ptr inttoptr (i64 4 to ptr))
  call void @__quantum__qis__mresetz__body(ptr inttoptr (i64 3 to ptr), ptr null)
  call void @__quantum__qis__mresetz__body(ptr inttoptr (i64 4 to ptr), ptr inttoptr (i64 1 to ptr))
  %low = call i1 @__quantum__rt__read_result(ptr null)
  %high = call i1 @__quantum__rt__read_result(ptr inttoptr (i64 1 to ptr))
  %not_low = xor i1 %low, true
  %not_high = xor i1 %high, true
  %first = and i1 %low, %not_high
  %middle = and i1 %low, %high
  %last = and i1 %not_low, %high
  br i1 %first, label %flip_first, label %ask_middle
flip_first:
  call void @__quantum__qis__x__body(ptr null)
  br label %ask_middle
ask_middle:
  br i1 %middle, label %flip_middle, label %ask_last
flip_middle:
  call void @__quantum__qis__x__body(ptr inttoptr (i64 1 to ptr))
  br label %ask_last
ask_last:
  br i1 %last, label %flip_last, label %done
flip_last:
  call void @__quantum__qis__x__body(ptr inttoptr (i64 2 to ptr))
  br label %done
done:
  call void @__quantum__qis__cnot__body(ptr null, ptr inttoptr (i64 1 to ptr))
  call void @__quantum__qis__cnot__body(ptr null, ptr inttoptr (i64 2 to ptr))
  call void @__quantum__qis__x__body(ptr inttoptr (i64 1 to ptr))
  call void @__quantum__qis__x__body(ptr inttoptr (i64 2 to ptr))
  call void @__quantum__qis__ccx__body(ptr inttoptr (i64 1 to ptr), ptr inttoptr (i64 2 to ptr), ptr null)
  call void @__quantum__qis__x__body(ptr null)
  call void @__quantum__qis__mz__body(ptr null, ptr inttoptr (i64 2 to ptr))
  call void @__quantum__qis__x__body(ptr null)
  %value = call i1 @__quantum__rt__read_result(ptr inttoptr (i64 2 to ptr))
  %right = xor i1 %value, true
  call void @__quantum__rt__bool_record_output(i1 %low, ptr null)
  call void @__quantum__rt__bool_record_output(i1 %high, ptr null)
  call void @__quantum__rt__bool_record_output(i1 %value, ptr null)
  ret void
}
declare void @__quantum__qis__ccx__body(ptr, ptr, ptr)
declare void @__quantum__qis__cnot__body(ptr, ptr)
declare void @__quantum__qis__mresetz__body(ptr, ptr)
declare void @__quantum__qis__mz__body(ptr, ptr)
declare void @__quantum__qis__x__body(ptr)
declare void @__quantum__rt__bool_record_output(i1, ptr)
declare i1 @__quantum__rt__read_result(ptr)

attributes #0 = { "entry_point" "qir_profiles"="adaptive_profile" "required_num_qubits"="5" "required_num_results"="3" }
