; expect: ParseError: block nowhere
define void @main() #0 {
  br label %nowhere
}

attributes #0 = { "entry_point" "qir_profiles"="adaptive_profile" "required_num_qubits"="3" "required_num_results"="3" }
