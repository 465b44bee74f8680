package verify

import (
	"maps"
	"slices"
)

// ExplainCost tells what a diagnosis has used up.
func (v *Verifier) ExplainCost(f Refusal) (tries, work int) {
	x := v.inquire(f)
	x.diagnose()
	return mostTries - x.tries, mostWork - x.work
}

// HintedProviders are those that hints are made for.
func HintedProviders() []string {
	return append(slices.Sorted(maps.Keys(modes)), slices.Sorted(maps.Keys(apiKeys))...)
}

// Indented writes JSON anew, indented by four.
func Indented(src []byte) []byte { return style{indent: "    "}.write(src) }

// SmallOrder are the Ed25519 keys under which anybody can sign.
func SmallOrder() []string { return slices.Clone(smallOrder) }

// Restyled writes JSON anew in several ways.
func Restyled(src []byte) [][]byte {
	return [][]byte{
		style{}.write(src), style{ascii: true, slash: true}.write(src), style{html: true}.write(src),
		style{spaced: true, ascii: true}.write(src), style{indent: "  "}.write(src),
	}
}
