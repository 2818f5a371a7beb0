package client

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"testing"
)

// TestMade: calls.go is what docs/openapi.yaml gives. Where it is not, run `make api`.
func TestMade(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "-C", "generator", "tool", "oapi-codegen", "-config", "config.yaml",
		"../../../../docs/openapi.yaml")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	made, err := cmd.Output()
	if err != nil {
		t.Fatalf("making the calls: %v\n%s", err, &stderr)
	}
	have, err := os.ReadFile("calls.go")
	if err != nil || !bytes.Equal(bytes.TrimSpace(have), bytes.TrimSpace(made)) {
		t.Errorf("calls.go is not what docs/openapi.yaml gives, %v: run make api", err)
	}
}

// TestPaths: a name of a person's cannot lead a call to another path.
func TestPaths(t *testing.T) {
	var got Request
	c := Client{Send: func(_ context.Context, r Request, _ any) error { got = r; return nil }}
	for key, want := range map[string]string{"a/../b?x=1": "/v1/machines/a%2F..%2Fb%3Fx=1/settings",
		"52:54:00:00:00:0a": "/v1/machines/52:54:00:00:00:0a/settings", "..": "", ".": "", "": ""} {
		if err := c.GetSettings(t.Context(), key, nil); (err == nil) != (want != "") || err == nil && got.Path != want {
			t.Errorf("GetSettings(%q) asks for %q, %v, want %q", key, got.Path, err, want)
		}
	}
	if err := c.ReadLog(t.Context(), "a", ReadLogQuery{Wait: 5}, nil); err != nil ||
		got.Path != "/v1/machines/a/log?wait=5" {
		t.Errorf("ReadLog() asks for %q, %v", got.Path, err)
	}
	if err := c.ListMachines(t.Context(), ListMachinesQuery{After: "a&b"}, nil); err != nil ||
		got.Path != "/v1/machines?after=a%26b" {
		t.Errorf("ListMachines() asks for %q, %v", got.Path, err)
	}
}
