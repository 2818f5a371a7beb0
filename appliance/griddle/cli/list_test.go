package cli

import "testing"

// TestNoFormula: text from machines is no formula in a spreadsheet.
func TestNoFormula(t *testing.T) {
	for in, want := range map[string]string{"": "", "-": "-", "Dell Inc.": "Dell Inc.", "=1+1": "'=1+1", "+1": "'+1",
		"-1+1": "'-1+1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'\r=1", "a=1": "a=1"} {
		if got := noFormula(in); got != want {
			t.Errorf("noFormula(%q) = %q, want %q", in, got, want)
		}
	}
}
