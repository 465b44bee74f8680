package handler

// runtime is what a provisioned handler works with.
type runtime struct{}
