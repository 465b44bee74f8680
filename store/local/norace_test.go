//go:build !race

package local_test

// raced tells that the race detector watches, which takes ten times as long and
// more. What rounds alone prove is then done with fewer of them, or not at all;
// `go test ./store/local/...` does all of it.
const raced = false
