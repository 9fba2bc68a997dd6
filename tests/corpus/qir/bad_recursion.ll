; expect: UnsupportedFeature: recursion
define void @main() #0 {
  call void @f()
  ret void
}
define void @f() {
  call void @g()
  ret void
}
define void @g() {
  call void @f()
  ret void
}

attributes #0 = { "entry_point" "qir_profiles"="adaptive_profile" "required_num_qubits"="3" "required_num_results"="3" }
