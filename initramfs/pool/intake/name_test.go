package intake

import "testing"

func TestName(t *testing.T) {
	for in, want := range map[string]string{
		"web:20261120.1@amd64": "web-20261120.1@amd64", "a/b:1@amd64": "a_b-1@amd64",
		"../x": "image.._x", "": "image", "a b,c": "a_b_c",
	} {
		if got := Name(in); got != want {
			t.Errorf("Name(%q) = %q, want %q", in, got, want)
		}
	}
}
