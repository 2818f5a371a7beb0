package ec2_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"griddle/cloud/provider"
	"griddle/cloud/provider/ec2/ec2fake"
)

// puts are the blocks that were sent, in order.
func puts(f *ec2fake.Fake) []string {
	var all []string
	for _, request := range f.Trace() {
		if fields := strings.Fields(request); fields[0] == "PutSnapshotBlock" {
			all = append(all, fields[2])
		}
	}
	return all
}

func TestUpload(t *testing.T) {
	_, b := disk(9, 0, 3, 7)
	b = append(b, "an end that is no block"...)
	image := imageOf(b)
	for _, c := range []struct {
		name   string
		change func(*provider.Image)
		boot   string
		arch   string
	}{
		{"both", func(*provider.Image) {}, "uefi-preferred", "x86_64"},
		{"BIOS", func(i *provider.Image) { i.UEFI = false }, "legacy-bios", "x86_64"},
		{"UEFI", func(i *provider.Image) { i.BIOS = false }, "uefi", "x86_64"},
		{"arm64", func(i *provider.Image) { i.Arch = "arm64" }, "uefi", "arm64"},
	} {
		f := ec2fake.New()
		p := open(t, world(t, f))
		w := *image
		c.change(&w)
		r := ensure(t, p, &w)
		ami := f.Of("image")
		if len(ami) != 1 || ami[0].ID != r.ID || ami[0].About["boot"] != c.boot || ami[0].About["arch"] != c.arch ||
			ami[0].About["ena"] != "true" {
			t.Fatalf("%s: %+v", c.name, ami)
		}
		if got := puts(f); len(got) != 4 {
			t.Errorf("%s: blocks %v were sent, want the 4 that are not zeroes", c.name, got)
		}
		for i := range 10 {
			want := make([]byte, 512<<10)
			copy(want, b[i*512<<10:])
			got := f.Block(ami[0].About["snapshot"], i)
			if got == nil {
				got = make([]byte, 512<<10)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: block %d differs", c.name, i)
			}
		}
	}
	f := ec2fake.New()
	w := *image
	w.Arch, w.UEFI = "arm64", false
	if _, err := open(t, world(t, f)).Ensure(t.Context(), &w); !errors.Is(err, provider.ErrInvalid) {
		t.Errorf("arm64 by BIOS: %v, want ErrInvalid", err)
	}
}

// TestUploadResumed kills an upload and has another process take it up.
func TestUploadResumed(t *testing.T) {
	image, _ := disk(40, 1, 2, 5, 8, 9, 20, 21, 30, 31, 39)
	f := ec2fake.New()
	o := world(t, f)
	o.Parallel = 1
	ctx, kill := context.WithCancel(t.Context())
	n := 0
	f.Fault = func(c ec2fake.Call) *ec2fake.Fault {
		if c.Action != "PutSnapshotBlock" {
			return nil
		}
		if n++; n == 8 {
			kill()
			return &ec2fake.Fault{Drop: true}
		}
		return nil
	}
	p := open(t, o)
	p.SetWave(3)
	if _, err := p.Ensure(ctx, image); !errors.Is(err, context.Canceled) {
		t.Fatalf("killed: %v", err)
	}
	all, err := open(t, o).List(t.Context(), "")
	if err != nil || len(all) != 1 || all[0].State != provider.Pending || all[0].Digest != image.Digest {
		t.Errorf("what was begun is listed as %+v, %v", all, err)
	}
	p = open(t, o)
	p.SetWave(3)
	ensure(t, p, image)
	if got, want := puts(f), strings.Fields("1 2 5 8 9 20 21 21 30 31 39"); !slices.Equal(got, want) {
		t.Errorf("blocks %v were sent, want %v", got, want)
	}
	if n := len(f.Of("snapshot")); n != 1 {
		t.Errorf("%d snapshots, want 1", n)
	}
}

// TestUploadThrottled has requests for blocks throttled and lost: each is repeated by itself.
func TestUploadThrottled(t *testing.T) {
	image, _ := disk(12, 0, 1, 2, 3, 4, 5, 6, 7)
	f := ec2fake.New()
	f.Steps, f.Lag = 3, 2
	f.Fault = func(c ec2fake.Call) *ec2fake.Fault {
		switch {
		case c.Action != "PutSnapshotBlock" && c.Action != "CompleteSnapshot":
			return nil
		case c.N%3 == 0:
			return &ec2fake.Fault{Status: 400, Code: "RequestThrottledException"}
		case c.N%7 == 0:
			return &ec2fake.Fault{Drop: true}
		}
		return nil
	}
	if r := ensure(t, open(t, world(t, f)), image); r.State == provider.Failed {
		t.Errorf("%+v", r)
	}
}

// TestUploadWrong has an image whose bytes are not those of its digest.
func TestUploadWrong(t *testing.T) {
	image, _ := disk(12, 0, 1, 2, 3, 4, 5)
	f := ec2fake.New()
	o := world(t, f)
	wrong := *image
	wrong.Open = func() (provider.Contents, error) {
		b := make([]byte, image.Size)
		b[0], b[9*512<<10] = 1, 1
		return contents{bytes.NewReader(b)}, nil
	}
	if _, err := open(t, o).Ensure(t.Context(), &wrong); !errors.Is(err, provider.ErrInvalid) || isTemporary(err) {
		t.Errorf("wrong bytes: %v, want ErrInvalid", err)
	}
	if left := f.All(); len(left) != 0 {
		t.Errorf("wrong bytes left %+v", left)
	}
	// They are sent, and the program dies before it finds out.
	ctx, kill := context.WithCancel(t.Context())
	f.Fault = func(c ec2fake.Call) *ec2fake.Fault {
		if c.Action == "DeleteSnapshot" {
			kill()
			return &ec2fake.Fault{Drop: true}
		}
		return nil
	}
	if _, err := open(t, o).Ensure(ctx, &wrong); err == nil {
		t.Error("wrong bytes were taken")
	}
	f.Fault = nil
	p := open(t, o)
	r, err := p.Ensure(t.Context(), image)
	if !isTemporary(err) {
		t.Errorf("a snapshot with wrong blocks in it became %+v, %v, want ErrTemporary", r, err)
	}
	ensure(t, p, image)
	if n := len(f.Of("snapshot")); n != 1 {
		t.Errorf("%d snapshots, want 1", n)
	}
	short := *image
	short.Name, short.Digest, short.Size = "short", "sha256:"+strings.Repeat("0", 64), image.Size+1
	if _, err := p.Ensure(t.Context(), &short); err == nil || isTemporary(err) {
		t.Errorf("fewer bytes than there should be: %v", err)
	}
	unopened := short
	unopened.Open = func() (provider.Contents, error) { return nil, errors.New("it is gone") }
	if _, err := p.Ensure(t.Context(), &unopened); err == nil || !strings.Contains(err.Error(), "it is gone") {
		t.Errorf("an image that cannot be opened: %v", err)
	}
}

// TestImageGone has somebody delete AMI, snapshot or both by hand, and EBS give a snapshot up.
func TestImageGone(t *testing.T) {
	image, _ := disk(4, 0, 2)
	f := ec2fake.New()
	f.Lag = 1
	p := open(t, world(t, f))
	for n, c := range []struct {
		name string
		gone []string // types
		sent int      // blocks so far
	}{{"nothing", nil, 2}, {"AMI", []string{"image"}, 2}, {"both", []string{"image", "snapshot"}, 4},
		{"both again", []string{"image", "snapshot"}, 6}} {
		for _, kind := range c.gone {
			for _, resource := range f.Of(kind) {
				f.Delete(resource.ID)
			}
		}
		if r := ensure(t, p, image); r.Digest != image.Digest {
			t.Errorf("%d: %+v", n, r)
		}
		if got := len(puts(f)); got != c.sent {
			t.Errorf("after %s was deleted %d blocks were sent so far, want %d", c.name, got, c.sent)
		}
	}
	remove(t, p, "")
	f.Fault = func(c ec2fake.Call) *ec2fake.Fault {
		if c.Action == "RegisterImage" {
			return &ec2fake.Fault{Status: 500, Code: "InternalError"}
		}
		return nil
	}
	if _, err := p.Ensure(t.Context(), image); !isTemporary(err) {
		t.Errorf("registering fails: %v", err)
	}
	f.Fault = nil
	f.FailSnapshot(f.Of("snapshot")[0].ID, "Client.InternalError")
	ensure(t, p, image)
	all, err := p.List(t.Context(), "")
	if err != nil || len(all) != 1 || all[0].State != provider.Ready {
		t.Errorf("listed are %+v, %v", all, err)
	}
}
