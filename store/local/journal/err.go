package journal

// Err is nil while entries without a right to the reserve are taken, or why
// they are not.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.refusal(&Entry{})
}
