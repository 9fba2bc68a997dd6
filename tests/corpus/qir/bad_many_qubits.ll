; expect: TooLarge: requires 1000000000 qubits
define void @main() #0 {
  ret void
}

attributes #0 = { "entry_point" "qir_profiles"="adaptive_profile" "required_num_qubits"="1000000000" "required_num_results"="3" }
