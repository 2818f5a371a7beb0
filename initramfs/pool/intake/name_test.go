package intake

import "testing"

func TestNamed(t *testing.T) {
	for folder, want := range map[string]bool{
		"web-1@amd64": true, "web-1@amd64.2": true, "web-1@amd64.10": true, "web-1@amd64.1": false,
		"web-1@amd64.02": false, "web-1@amd64.x": false, "web-1@amd64.": false, "web-1@amd64.2.3": false,
		"web-12@amd64": false, "web-1": false, "": false,
	} {
		if got := Named(folder, "web:1@amd64"); got != want {
			t.Errorf("Named(%q) = %v, want %v", folder, got, want)
		}
	}
}

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
