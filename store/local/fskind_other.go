//go:build !linux

package local

// hazard says why a store should not lie in dir. Only on Linux is it known.
func hazard(string) string { return "" }
