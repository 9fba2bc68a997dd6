; expect: ParseError: entry_point
define void @main() {
  ret void
}

