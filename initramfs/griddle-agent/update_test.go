package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/imagestore/head"
	"griddle/initramfs/pool"
	"griddle/initramfs/pool/pooltest"
)

// An update goes to the pool that the server knows, or to the only one.
func TestPoolOf(t *testing.T) {
	a, b := pool.Place{Disk: "/dev/sda", Job: "1"}, pool.Place{Disk: "/dev/sdb", Job: "2"}
	for _, c := range []struct {
		pool string
		all  []pool.Place
		want string // disk, or what the error says
	}{
		{"", []pool.Place{a}, "/dev/sda"},
		{"2", []pool.Place{a, b}, "/dev/sdb"},
		{"", nil, "no disk that Griddle installed"},
		{"2", []pool.Place{a}, "other pools are on /dev/sda"},
		{"", []pool.Place{a, b}, "/dev/sda, /dev/sdb"},
		{"1", []pool.Place{a, {Disk: "/dev/sdc", Job: "1"}}, "several disks"},
	} {
		p, err := poolOf(job.Spec{Pool: c.pool}, c.all)
		if err == nil && p.Disk != c.want || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("poolOf(%q, %v) = %v, %v, want %s", c.pool, c.all, p, err, c.want)
		}
	}
}

// A server cannot plan another image than the one that was ordered.
func TestSameImage(t *testing.T) {
	want := job.Image{Ref: "web:1@amd64", Document: "d"}
	for _, planned := range []job.Image{{Ref: "web:2@amd64", Document: "d"}, {Ref: "web:1@amd64", Document: "e"}} {
		if _, err := sameImage(want, planned); err == nil {
			t.Errorf("%+v passes", planned)
		}
	}
	if _, err := sameImage(want, job.Image{Ref: "web:1@amd64", Document: "d", Streams: []job.Stream{{}}}); err != nil {
		t.Error(err)
	}
}

// What a machine saw that is updated from the network counts for its service, and the other way round.
func TestKeepHead(t *testing.T) {
	made := pooltest.Installed(t)
	if err := os.Remove(filepath.Join(made.Top, "@persistent/griddle/seen")); err != nil { // of another kind
		t.Fatal(err)
	}
	p, err := pool.Open(pool.Place{Pool: made.Device, ESP: made.ESP})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r := newRoom(t)
	seen, err := r.catalog(t.Context(), r.spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := keepHead(p, seen); err != nil {
		t.Fatal(err)
	}
	kept, err := head.OpenSeenDir(filepath.Join(made.Top, "@persistent/griddle/seen")).Of(r.site.Public())
	if err != nil || kept.Seq != seen.Seq || kept.SHA256 != seen.SHA256 {
		t.Errorf("the service knows %+v, %v, want %+v", kept, err, seen)
	}
	if seen.Seq--; !errors.Is(keepHead(p, seen), head.ErrRollback) {
		t.Error("an older catalog counts")
	}
}
