package remote

import (
	"bytes"
	"net/http/httptest"
	"testing"
	"time"

	"griddle/imagestore/blob"
)

// TestIdleLimits says for which requests a server is waited for.
func TestIdleLimits(t *testing.T) {
	const forever, minute, longer = time.Duration(0), time.Minute, 10 * time.Minute
	for _, c := range []struct {
		method, path string
		answer, body time.Duration
	}{
		{"GET", ImagesPath, minute, minute},
		{"GET", ImagesPath + "/show", minute, minute},
		{"GET", ImagesPath + "/stream", forever, longer},
		{"POST", ImagesPath + "/derive", forever, minute},
		{"GET", CatalogPath, minute, minute},
		{"POST", CatalogPath, forever, minute},
		{"POST", LeasesPath, minute, minute},
		{"GET", blob.Path + "/sha256:00", minute, minute},
		{"GET", blob.Path + "/sha256:00/partial", longer, minute},
		{"PUT", blob.Path + "/sha256:00", longer, minute},
	} {
		r := httptest.NewRequest(c.method, "https://server"+c.path, nil)
		if answer, body := idleLimits(time.Minute)(r); answer != c.answer || body != c.body {
			t.Errorf("idleLimits(%s %s) = %v, %v, want %v, %v", c.method, c.path, answer, body, c.answer, c.body)
		}
	}
}

func FuzzReadLines(f *testing.F) {
	f.Add([]byte(`{"seq":1,"kind":"trust","key":"RW"}` + "\n" + `{"seq":2}`))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, sums, err := readLines(bytes.NewReader(b))
		if err == nil && len(sums) != len(entries)+1 {
			t.Errorf("readLines(%q) = %d entries and %d sums", b, len(entries), len(sums))
		}
	})
}
