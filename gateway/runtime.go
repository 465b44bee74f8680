package gateway

// runtime is what a provisioned app works with.
type runtime struct{}
