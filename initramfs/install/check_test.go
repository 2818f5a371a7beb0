package install

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"griddle/appliance/job"
	"griddle/imagestore/content"
	"griddle/imagestore/document"
	"griddle/imagestore/fetch"
	diskcontent "griddle/initramfs/disk/content"
)

// sized is an image that only has a size.
type sized int64

func (sized) Ref() string                                                    { return "web:1@amd64" }
func (s sized) Size() int64                                                  { return int64(s) }
func (sized) Identity() document.Identity                                    { return document.Identity{} }
func (sized) Streams() []fetch.StreamInfo                                    { return []fetch.StreamInfo{{}} }
func (sized) OpenStream(context.Context, int, string) (io.ReadCloser, error) { return nil, io.EOF }
func (sized) Content(context.Context) (*content.Manifest, error)             { return nil, io.EOF }

// without is an image that no disk can be made from: these streams need something that a blank disk does not hold.
type without struct {
	sized
	streams []fetch.StreamInfo
}

func (w without) Streams() []fetch.StreamInfo { return w.streams }

func TestCheckWantsAFullStreamFirst(t *testing.T) {
	blank := []job.Disk{{Path: "/dev/vda", Size: 20e9, SectorSize: 512, Sampled: job.Zeros}}
	spec := job.Spec{ID: jobID, Kind: job.Install, Disk: "path:/dev/vda"}
	for name, streams := range map[string][]fetch.StreamInfo{"none": nil, "a delta": {{Parent: &document.Identity{}}}} {
		if _, err := Check(spec, without{1e6, streams}, blank); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: Check() = %v, want ErrRefused", name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	blank := job.Disk{Path: "/dev/vda", Serial: "A", Size: 20e9, SectorSize: 512, Sampled: job.Zeros}
	with := func(change func(*job.Disk)) job.Disk {
		d := blank
		change(&d)
		return d
	}
	ext4 := with(func(d *job.Disk) { d.Signature = "ext4" })
	gpt := with(func(d *job.Disk) { d.Table = "gpt" })
	windows := with(func(d *job.Disk) {
		d.Table = "mbr"
		d.Partitions = []job.Partition{{Number: 1, Size: 10e9, Filesystem: "ntfs", Label: "Windows\x1b[2J"}}
	})
	twin := with(func(d *job.Disk) { d.Path = "/dev/vdb" })
	half := func(id string) job.Disk {
		return with(func(d *job.Disk) {
			d.Table, d.Unfinished = "gpt", id
			d.Partitions = []job.Partition{{Number: 3, Name: diskcontent.NameUnfinished}}
		})
	}
	pool := with(func(d *job.Disk) {
		d.Table, d.Installed = "gpt", "0"+jobID[1:]
		d.Partitions = []job.Partition{{Number: 3, Name: diskcontent.NameFinished}}
	})
	shared := func(id string) job.Disk {
		return with(func(d *job.Disk) {
			d.Table, d.Installed = "mbr", id
			d.Partitions = []job.Partition{{Number: 1, Filesystem: "ntfs"},
				{Number: 2, Filesystem: "btrfs", Installed: id}}
		})
	}
	poolTwin := pool
	poolTwin.Path = "/dev/vdb"
	damaged, damagedTwin := pool, poolTwin
	damaged.Damaged, damagedTwin.Damaged = "only its backup copy is left", "only its backup copy is left"
	begun := func(change func(*job.Disk)) job.Disk {
		return with(func(d *job.Disk) { d.Unfinished, d.Sampled = jobID, ""; change(d) })
	}
	install := job.Spec{ID: jobID, Kind: job.Install, Disk: "path:/dev/vda"}
	spec := func(change func(*job.Spec)) job.Spec {
		s := install
		change(&s)
		return s
	}
	erase := func(name string) job.Spec { return spec(func(s *job.Spec) { s.Erase = name }) }
	for _, c := range []struct {
		name  string
		spec  job.Spec
		disks []job.Disk
		size  int64
		want  []string // nothing: it passes
	}{
		{name: "blank", spec: install, disks: []job.Disk{blank}},
		{name: "shared pool", spec: install, disks: []job.Disk{shared("0" + jobID[1:])}},
		{name: "shared pool, erased", spec: erase("A"), disks: []job.Disk{shared("0" + jobID[1:])}},
		{name: "shared pool of another machine", spec: spec(func(s *job.Spec) { s.Pools = []string{"1"} }),
			disks: []job.Disk{shared("0" + jobID[1:])}, want: []string{"which is not one of this machine"}},
		{name: "this job is finished in a shared pool", spec: install, disks: []job.Disk{shared(jobID)}},
		{name: "two pools", spec: install, disks: []job.Disk{with(func(d *job.Disk) {
			d.Table = "gpt"
			d.Partitions = []job.Partition{{Number: 3, Installed: jobID}, {Number: 4, Installed: "0" + jobID[1:]}}
		})}, want: []string{"is not blank"}},
		{name: "this job began in a partition", spec: install, disks: []job.Disk{with(func(d *job.Disk) {
			d.Table, d.Unfinished = "gpt", jobID
			d.Partitions = []job.Partition{{Number: 1, Filesystem: "ntfs", Label: "Windows"},
				{Number: 3, Name: "griddle", Filesystem: "btrfs", Unfinished: jobID}}
		})}, want: []string{"is not blank", `ntfs "Windows"`, "--erase A"}},
		{name: "ext4", spec: install, disks: []job.Disk{ext4}, want: []string{
			"disk /dev/vda, 20.0 GB, serial A is not blank: whole disk: ext4; to overwrite it, add --erase A"}},
		{name: "not sampled", spec: install, disks: []job.Disk{with(func(d *job.Disk) { d.Sampled = "" })},
			want: []string{"unknown content: the disk was not read", "--erase A"}},
		{name: "random bytes", spec: install,
			disks: []job.Disk{with(func(d *job.Disk) { d.Sampled = "data at byte 0 (0x41)" })},
			want:  []string{"unknown content: data at byte 0 (0x41)", "--erase A"}},
		{name: "ones", spec: install, disks: []job.Disk{with(func(d *job.Disk) { d.Sampled = job.Ones })}},
		{name: "twin that is not blank", spec: install, disks: []job.Disk{ext4, twin},
			want: []string{"add --erase /dev/vda"}},
		{name: "GPT without partitions", spec: install, disks: []job.Disk{gpt},
			want: []string{"an empty gpt partition table"}},
		{name: "Windows", spec: install, disks: []job.Disk{windows},
			want: []string{"partition 1: 10.0 GB, ntfs", `"Windows [2J"`}},
		{name: "erase by serial", spec: erase("A"), disks: []job.Disk{windows}},
		{name: "erase by path", spec: erase("/dev/vda"), disks: []job.Disk{windows}},
		{name: "erase of another", spec: erase("B"), disks: []job.Disk{windows},
			want: []string{`may erase "B"`, "ntfs"}},
		{name: "erase by a serial that two share", spec: erase("A"), disks: []job.Disk{windows, twin},
			want: []string{"use --erase /dev/vda"}},
		{name: "own unfinished", spec: install, disks: []job.Disk{half(jobID)}},
		{name: "own, with the first mark alone", spec: install, disks: []job.Disk{begun(func(*job.Disk) {})}},
		{name: "own first mark, and what someone put there since", spec: install,
			disks: []job.Disk{begun(func(d *job.Disk) { d.Table = "mbr" })}, want: []string{"is not blank", "mbr"}},
		{name: "own first mark, and what may be erased", spec: erase("A"),
			disks: []job.Disk{begun(func(d *job.Disk) { d.Table = "mbr" })}},
		{name: "another's unfinished", spec: install, disks: []job.Disk{half("0" + jobID[1:])},
			want: []string{"another job"}},
		{name: "own ended", spec: install,
			disks: []job.Disk{with(func(d *job.Disk) { d.Table, d.Installed = "gpt", jobID })}},
		{name: "another's ended", spec: install, disks: []job.Disk{
			with(func(d *job.Disk) { d.Table, d.Installed = "gpt", "x" })}, want: []string{"is not blank"}},
		{name: "another's pool", spec: install, disks: []job.Disk{pool}, size: 19e9},
		{name: "one of the pools of the machine", disks: []job.Disk{pool},
			spec: spec(func(s *job.Spec) { s.Pools = []string{"1" + jobID[1:], "0" + jobID[1:]} })},
		{name: "the pool of another machine", disks: []job.Disk{pool},
			spec: spec(func(s *job.Spec) { s.Pools = []string{"1" + jobID[1:]} }), want: []string{
				"has the pool of job 0" + jobID[1:] + ", which is not one of this machine",
				"the server knows that of job 1" + jobID[1:], "add --erase A"}},
		{name: "the pool of another machine, with a damaged table", disks: []job.Disk{damaged},
			spec: spec(func(s *job.Spec) { s.Pools = []string{"1" + jobID[1:]} }),
			want: []string{"which is not one of this machine"}},
		{name: "the pool of another machine, to be erased", disks: []job.Disk{pool},
			spec: spec(func(s *job.Spec) { s.Pools, s.Erase = []string{"1" + jobID[1:]}, "A" })},
		{name: "own ended, and no pool is known as the machine's", disks: []job.Disk{
			with(func(d *job.Disk) { d.Table, d.Installed = "gpt", jobID })},
			spec: spec(func(s *job.Spec) { s.Pools = []string{"1" + jobID[1:]} })},
		{name: "another's pool, to be erased", spec: erase("A"), disks: []job.Disk{pool}},
		{name: "another's pool, and another disk to be erased", spec: erase("B"), disks: []job.Disk{pool},
			want: []string{`may erase "B"`}},
		{name: "another's pool, with a damaged table", spec: install, disks: []job.Disk{damaged},
			want: []string{"has a pool", "only its backup copy is left", "with gdisk /dev/vda (its command w)",
				"add --erase A"}},
		{name: "another's pool, with a damaged table, to be erased", spec: erase("A"), disks: []job.Disk{damaged}},
		{name: "begun at this path, and another disk has a pool with a damaged table",
			disks: []job.Disk{pool, damagedTwin}, spec: spec(func(s *job.Spec) { s.Started = "/dev/vda" }),
			want: []string{"it is not certain that"}},
		{name: "too small", spec: install, disks: []job.Disk{blank}, size: 19e9,
			want: []string{"too small", "20.0 GB", "20000000000 bytes", "22519592082 bytes"}},
		{name: "begun here", spec: spec(func(s *job.Spec) { s.Started = "A" }), disks: []job.Disk{blank}},
		{name: "begun elsewhere", spec: spec(func(s *job.Spec) { s.Started = "Z" }), disks: []job.Disk{blank},
			want: []string{"started on disk Z"}},
		{name: "begun at this path, which another disk may have by now",
			spec:  spec(func(s *job.Spec) { s.Started, s.Erase = "/dev/vda", "/dev/vda" }),
			disks: []job.Disk{windows}, want: []string{"it is not certain that", "ntfs", "new job"}},
		{name: "begun at this path, and nothing is there", spec: spec(func(s *job.Spec) { s.Started = "/dev/vda" }),
			disks: []job.Disk{blank}},
		{name: "begun at this path, with its mark", spec: spec(func(s *job.Spec) { s.Started = "/dev/vda" }),
			disks: []job.Disk{half(jobID)}},
		{name: "begun at this path, and the mark is elsewhere",
			spec:  spec(func(s *job.Spec) { s.Started = "/dev/vda" }),
			disks: []job.Disk{blank, {Path: "/dev/vdb", Size: 20e9, Unfinished: jobID}},
			want:  []string{"started on /dev/vdb"}},
		{name: "begun on one of two with this serial",
			spec:  spec(func(s *job.Spec) { s.Started, s.Erase = "A", "/dev/vda" }),
			disks: []job.Disk{windows, twin}, want: []string{"it is not certain that"}},
		{name: "begun at this path, in the only pool", disks: []job.Disk{pool, {Path: "/dev/vdb", Table: "mbr"}},
			spec: spec(func(s *job.Spec) { s.Started = "/dev/vda" })},
		{name: "begun at this path, in one of two pools", disks: []job.Disk{pool, poolTwin},
			spec: spec(func(s *job.Spec) { s.Started = "/dev/vda" }), want: []string{"it is not certain that"}},
		{name: "begun at this path, and another disk has the pool with the mark",
			disks: []job.Disk{pool, {Path: "/dev/vdb", Size: 20e9, Installed: jobID}},
			spec:  spec(func(s *job.Spec) { s.Started = "/dev/vda" }), want: []string{"started on /dev/vdb"}},
		{name: "begun at this path, where a pool is to be erased", disks: []job.Disk{pool},
			spec: spec(func(s *job.Spec) { s.Started, s.Erase = "/dev/vda", "/dev/vda" }),
			want: []string{"it is not certain that"}},
		{name: "begun here, nothing written yet", spec: spec(func(s *job.Spec) { s.Started, s.Erase = "A", "A" }),
			disks: []job.Disk{windows}},
		{name: "no such disk", spec: spec(func(s *job.Spec) { s.Disk = "serial:Q" }), disks: []job.Disk{blank},
			want: []string{"no disk matches"}},
		{name: "no rule", spec: spec(func(s *job.Spec) { s.Disk = "" }), disks: []job.Disk{blank},
			want: []string{"names no disk"}},
		{name: "odd sectors", spec: install, disks: []job.Disk{with(func(d *job.Disk) { d.SectorSize = 520 })},
			want: []string{"520"}},
		{name: "another kind", spec: spec(func(s *job.Spec) { s.Kind = "erase" }), disks: []job.Disk{blank},
			want: []string{"erase"}},
		{name: "ID that is no UUID", spec: spec(func(s *job.Spec) { s.ID = "1" }), disks: []job.Disk{blank},
			want: []string{"UUID"}},
		{name: "read-only", spec: install, disks: []job.Disk{with(func(d *job.Disk) { d.ReadOnly = true })},
			want: []string{"no disk matches"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := Check(c.spec, sized(c.size), c.disks)
			if len(c.want) == 0 {
				if err != nil || d.Path != "/dev/vda" {
					t.Errorf("Check = %v, %v; want /dev/vda", d, err)
				}
				return
			}
			if !errors.Is(err, ErrRefused) {
				t.Fatalf("Check = %v, want ErrRefused", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Check = %v, want %q in it", err, want)
				}
			}
			if strings.Contains(err.Error(), "\x1b") {
				t.Errorf("Check = %q has an escape sequence", err)
			}
		})
	}
}

// TestSampleWords: what disk says of a blank disk is what job understands.
func TestSampleWords(t *testing.T) {
	if diskcontent.Zeros != job.Zeros || diskcontent.Ones != job.Ones {
		t.Errorf("disk says %q and %q, job understands %q and %q",
			diskcontent.Zeros, diskcontent.Ones, job.Zeros, job.Ones)
	}
	for _, sampled := range []string{diskcontent.Zeros, diskcontent.Ones, "data at byte 0 (0x41)", ""} {
		c := diskcontent.Content{Sampled: sampled}
		if got := withContent(job.Disk{}, c); got.Blank() != c.Blank() {
			t.Errorf("sampled %q: job says blank %v, disk %v", sampled, got.Blank(), c.Blank())
		}
	}
}

// TestTableID: the server knows a table by its GUID, by which a plan says which disk it is for.
func TestTableID(t *testing.T) {
	const id = "3e6be9de-8139-11d1-9106-a43f08d823a6"
	if got := withContent(job.Disk{}, diskcontent.Content{Table: "gpt", GUID: id}); got.TableID != id {
		t.Errorf("TableID = %q, want %s", got.TableID, id)
	}
}

// TestSystemHostname: the settings win over the job, and the job over the machine.
func TestSystemHostname(t *testing.T) {
	w := &work{o: Options{Machine: job.Identity{Serial: "ABC-123"}}}
	for _, c := range []struct {
		give *string
		want string
	}{{new(string), "abc-123"}, {&w.spec.Hostname, "web1"}, {&w.settings.Hostname, "lab-1"}} {
		*c.give = c.want
		if got := w.hostname(); got != c.want {
			t.Errorf("the hostname is %q, want %q", got, c.want)
		}
	}
}
