; expect: TooLarge: trips
define void @main() #0 {
  br label %a
a:
  %i = phi i64 [ 0, %0 ], [ %j, %a ]
  call void @__quantum__qis__h__body(ptr inttoptr (i64 0 to ptr))
  %j = add i64 %i, 1
  %m = icmp ult i64 %j, 1000000000
  br i1 %m, label %a, label %b
b:
  ret void
}
declare void @__quantum__qis__h__body(ptr)

attributes #0 = { "entry_point" "qir_profiles"="adaptive_profile" "required_num_qubits"="3" "required_num_results"="3" }
