package main

import (
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/initramfs/pool"
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
