package local

import "container/heap"

// dueHeap orders what waits by when it is due; equal times by acceptance. An
// entry is a hint of sixteen bytes, so a million waiting events cost little: the
// truth is in the row, and an entry that no longer agrees with it is dropped
// when it comes up.
type dueHeap []dueEntry

type dueEntry struct {
	due int64 // Unix nanoseconds
	seq uint64
}

func (h *dueHeap) push(e dueEntry) { heap.Push(h, e) }

func (h *dueHeap) pop() dueEntry {
	e := (*h)[0]
	heap.Pop(h)
	return e
}

// Len is container/heap's, as are the four methods below.
func (h dueHeap) Len() int { return len(h) }

func (h dueHeap) Less(i, j int) bool {
	if h[i].due != h[j].due {
		return h[i].due < h[j].due
	}
	return h[i].seq < h[j].seq
}

func (h dueHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push appends.
func (h *dueHeap) Push(x any) {
	if e, ok := x.(dueEntry); ok {
		*h = append(*h, e)
	}
}

// Pop removes the last element, and gives memory back after a backlog is gone.
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	*h = (*h)[:last]
	if cap(*h) > 4096 && last < cap(*h)/4 {
		*h = append(make(dueHeap, 0, cap(*h)/2), *h...)
	}
	return nil
}
