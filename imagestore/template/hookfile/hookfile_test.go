package hookfile

import (
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"
)

func TestJudge(t *testing.T) {
	files := fstest.MapFS{"10-run": {Mode: 0o755}, "11-own": {Mode: 0o700}, "12-off": {Mode: 0o644},
		"13-dir": {Mode: fs.ModeDir | 0o755}, "14-pipe": {Mode: fs.ModeNamedPipe | 0o755}}
	stat := func(name string) (fs.FileInfo, error) { return fs.Stat(files, name) }
	for name, want := range map[string]Verdict{"10-run": Program, "11-own": Program, "12-off": NotExecutable,
		"13-dir": Ignored, "14-pipe": Ignored, ".hidden": Ignored, "10-run~": Ignored, "": Ignored} {
		if got, err := Judge(name, stat); got != want || err != nil && name != "" {
			t.Errorf("Judge(%q) = %v, %v, want %v", name, got, err, want)
		}
	}
	if _, err := Judge("missing", stat); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Judge(missing) = %v, want that it does not exist", err)
	}
}
