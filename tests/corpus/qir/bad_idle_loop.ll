; expect: TooLarge: without any operation
define void @main() #0 {
  br label %a
a:
  %i = phi i64 [ 1, %0 ], [ %j, %a ]
  %j = mul i64 %i, 3
  %m = icmp ne i64 %j, 0
  br i1 %m, label %a, label %b
b:
  ret void
}

attributes #0 = { "entry_point" "qir_profiles"="adaptive_profile" "required_num_qubits"="3" "required_num_results"="3" }
