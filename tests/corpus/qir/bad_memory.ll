; expect: UnsupportedFeature: alloca is not read
define void @main() #0 {
  %x = alloca i64
  ret void
}

attributes #0 = { "entry_point" "qir_profiles"="full" "required_num_qubits"="3" "required_num_results"="3" }
