package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/site"
	"griddle/initramfs/disk"
	"griddle/initramfs/uplink"
	"griddle/tui"
)

// medium is a disk in memory.
type medium struct{ *bytes.Reader }

func (medium) Close() error { return nil }

// TestTellDisks: after an install the server gets the disks of now in another hello of the same boot and key, and a
// server that does not answer, or a time that is over, holds nothing up.
func TestTellDisks(t *testing.T) {
	sys := t.TempDir()
	dev := filepath.Join(sys, "devices/virtio1/block/vda")
	for name, text := range map[string]string{"size": "2048", "diskseq": "9\n", "stat": "1 2 3 4 5 6 7\n"} {
		if err := os.MkdirAll(dev, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dev, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(sys, "block"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../devices/virtio1/block/vda", filepath.Join(sys, "block/vda")); err != nil {
		t.Fatal(err)
	}
	var got []job.Hello
	status := http.StatusOK
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var h job.Hello
		if err := json.NewDecoder(r.Body).Decode(&h); err != nil || r.URL.Path != job.HelloPath {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		got = append(got, h)
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(job.Welcome{Token: "t", Job: &job.Spec{ID: "the next one"}})
	}))
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	srv.StartTLS()
	defer srv.Close()
	table := make([]byte, 1<<20)
	s := &station{log: slog.New(slog.DiscardHandler), boot: "b", site: site.Site{HTTPS: srv.URL,
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))},
		disks: &disk.Scanner{Sys: os.DirFS(sys), Open: func(string) (disk.Device, error) {
			return medium{bytes.NewReader(table)}, nil
		}}}
	var err error
	if s.api, err = newClient(s.site, newKey(t)); err != nil {
		t.Fatal(err)
	}
	before := tui.Found{Identity: job.Identity{Serial: "S1"},
		Inventory: job.Inventory{Disks: []job.Disk{{Path: "/dev/old"}}}}
	// A partition in an MBR: type, start and length in sectors.
	table[446+4], table[446+9], table[446+13], table[510], table[511] = 0x83, 1, 2, 0x55, 0xaa
	s.tellDisks(t.Context(), &uplink.Lease{}, before)
	if len(got) != 1 || got[0].Boot != "b" || got[0].Identity.Serial != "S1" || len(got[0].Inventory.Disks) != 1 ||
		got[0].Inventory.Disks[0].Path != "/dev/vda" || len(got[0].Inventory.Disks[0].Partitions) != 1 {
		t.Fatalf("after an install the server heard %+v, want one hello with /dev/vda and its partition", got)
	}
	status = http.StatusInternalServerError
	s.tellDisks(t.Context(), &uplink.Lease{}, before)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	s.tellDisks(over, &uplink.Lease{}, before)
	if len(got) != 2 {
		t.Errorf("the server heard %d hellos, want one that it refused, and none after the end", len(got)-1)
	}
}
