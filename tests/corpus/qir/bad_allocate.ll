; expect: UnsupportedFeature: __quantum__rt__qubit_allocate is not read
define void @main() #0 {
  %q = call ptr @__quantum__rt__qubit_allocate()
  ret void
}
declare ptr @__quantum__rt__qubit_allocate()

attributes #0 = { "entry_point" "qir_profiles"="full" "required_num_qubits"="3" "required_num_results"="3" }
