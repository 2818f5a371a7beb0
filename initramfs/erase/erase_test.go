package erase

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"griddle/appliance/job"
	"griddle/initramfs/disk/disktest"
	"griddle/initramfs/erase/ata"
	"griddle/initramfs/erase/nvme"
)

// reporter keeps the events of a run.
type reporter struct {
	mu     sync.Mutex
	events []job.Event
	refuse error
	began  func() // after the server recorded the disk
}

func (r *reporter) Event(e job.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *reporter) Deliver(_ context.Context, e job.Event) error {
	if r.refuse != nil {
		return r.refuse
	}
	r.Event(e)
	if r.began != nil {
		r.began()
	}
	return nil
}

// last is the last event, and said the messages of all.
func (r *reporter) last() job.Event { return r.events[len(r.events)-1] }

func (r *reporter) said() string {
	var out []string
	for _, e := range r.events {
		out = append(out, e.Message)
	}
	return strings.Join(out, "\n")
}

// serials of the disks of tests are their paths.
func ownSerial(path string) (string, error) { return "S-" + filepath.Base(path), nil }

func listed(path string, size int64, sector int) job.Disk {
	serial, _ := ownSerial(path)
	return job.Disk{Path: path, Serial: serial, Size: size, SectorSize: sector, Bus: "scsi", Signature: "ext4"}
}

func options(r *reporter, name string, disks ...job.Disk) Options {
	return Options{Spec: job.Spec{ID: jobID, Kind: job.Erase, Erase: name}, Disks: disks, Report: r, Agent: "test",
		Open: Open, Serial: ownSerial}
}

// write fills a device file with bytes that are not zero, and returns them.
func write(t *testing.T, path string, n int64) []byte {
	t.Helper()
	b := filled(int(n)).disk
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.Write(b)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestOverwrite erases one of two loop devices, with sectors of each size. The other one stays, bit for bit. What the
// first is kept in has holes afterwards: the blocks were given back.
func TestOverwrite(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		const size = 9<<20 + 4096
		dev, other := disktest.Loop(t, size, sector), disktest.Loop(t, size, sector)
		write(t, dev, size)
		kept := write(t, other, size)
		var r reporter
		c, err := Run(t.Context(), options(&r, "S-"+filepath.Base(dev), listed(other, size, sector),
			listed(dev, size, sector)))
		if err != nil {
			t.Fatalf("sectors of %d: %v\n%s", sector, err, r.said())
		}
		if !bytes.Equal(read(t, dev), make([]byte, size)) {
			t.Error("the disk is not zero")
		}
		if !bytes.Equal(read(t, other), kept) {
			t.Error("the other disk has changed")
		}
		want := job.Verification{Way: job.EraseReadAll, Bytes: size, Zeros: true}
		if c.Result != job.Erased || c.Level != job.Clear || c.Method != "overwrite" || c.Verified != want ||
			c.Disk.Serial != "S-"+filepath.Base(dev) || c.Held == "" || c.Resumed || c.Ended.Before(c.Began) {
			t.Errorf("%+v", c)
		}
		e := r.last()
		if e.State != job.Done || e.Certificate == nil || e.Certificate.Result != job.Erased {
			t.Errorf("the last event is %+v", e)
		}
		if !strings.Contains(strings.Join(c.Notes, ";"), "discarded") {
			t.Errorf("the loop device was not discarded: %q", c.Notes)
		}
		back := strings.TrimSpace(disktest.Tool(t, "losetup", "--noheadings", "--output", "BACK-FILE", dev))
		var st unix.Stat_t
		if err := unix.Stat(back, &st); err != nil || st.Blocks > 64 {
			t.Errorf("%s has %d blocks, %v", back, st.Blocks, err)
		}
	}
}

// TestResume stops an overwrite of a loop device by ending its context after the disk was recorded, and between, and
// runs it again as the next boot would.
func TestResume(t *testing.T) {
	const size = 24 << 20
	dev := disktest.Loop(t, size, 512)
	write(t, dev, size)
	d := listed(dev, size, 512)

	var r reporter
	ctx, cancel := context.WithCancelCause(t.Context())
	r.began = func() { cancel(errCut) }
	c, err := Run(ctx, options(&r, d.Serial, d))
	if !errors.Is(err, errCut) || c.Result != job.EraseFailed || r.last().State != job.Failed {
		t.Fatalf("stopped: %v, %+v", err, c)
	}
	if m, ok := readMark(read(t, dev)[:head]); !ok || m.done != head {
		t.Fatalf("the mark is %+v, %v", m, ok)
	}
	// As if it had come to 16 MiB: what is before that is not written again.
	f, err := os.OpenFile(dev, os.O_WRONLY|unix.O_SYNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = f.WriteAt(mark{jobID, size, 16 << 20}.encode(), 0); err == nil {
		_, err = f.WriteAt(make([]byte, 16<<20-head), head)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	o := options(&reporter{}, d.Serial, d)
	o.Spec.Started = d.Serial
	counted := &counting{}
	o.Open = func(path string) (Device, error) {
		dev, err := Open(path)
		counted.Device = dev
		return counted, err
	}
	c, err = Run(t.Context(), o)
	if err != nil || c.Result != job.Erased || !c.Resumed || !bytes.Equal(read(t, dev), make([]byte, size)) {
		t.Fatalf("continued: %v, %+v", err, c)
	}
	if counted.from != 16<<20 {
		t.Errorf("the first write after the mark is at byte %d", counted.from)
	}
	// The power was cut after the mark was gone, and before the server knew.
	o.Report = &reporter{}
	counted.from = 0
	if c, err = Run(t.Context(), o); err != nil || c.Result != job.Erased || counted.from != 0 ||
		!strings.Contains(strings.Join(c.Notes, ";"), "an earlier boot had overwritten it") {
		t.Errorf("after the end: %v, %+v, wrote at %d", err, c, counted.from)
	}
	// Another disk has the name: nothing is written.
	o = options(&reporter{}, d.Serial, d)
	o.Spec.Started = "S-other"
	if _, err = Run(t.Context(), o); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(),
		"was started on disk") {
		t.Errorf("started on another disk: %v", err)
	}
}

// TestResumeByPath: a disk without a serial has only its mark to say that it is the one.
func TestResumeByPath(t *testing.T) {
	const size = 8 << 20
	dev := disktest.Loop(t, size, 512)
	kept := write(t, dev, size)
	d := listed(dev, size, 512)
	d.Serial = ""
	o := options(&reporter{}, dev, d)
	o.Serial = func(string) (string, error) { return "", nil }
	o.Spec.Started = dev
	if _, err := Run(t.Context(), o); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "not certain") {
		t.Errorf("%v", err)
	}
	if !bytes.Equal(read(t, dev), kept) {
		t.Error("a disk was written that may be another one")
	}
	o.Spec.Started, o.Report = "", &reporter{}
	if c, err := Run(t.Context(), o); err != nil || c.Result != job.Erased {
		t.Errorf("%v, %+v", err, c)
	}
}

// counting notes where the first write behind the mark is.
type counting struct {
	Device
	from int64
}

func (c *counting) WriteAt(b []byte, at int64) (int, error) {
	if at >= head && c.from == 0 {
		c.from = at
	}
	return c.Device.WriteAt(b, at)
}

// TestRefused: each refusal says why, and writes nothing.
func TestRefused(t *testing.T) {
	const size = 16 << 20
	dev := disktest.Loop(t, size, 512)
	kept := write(t, dev, size)
	d := listed(dev, size, 512)
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"no name":       {func(o *Options) { o.Spec.Erase = "" }, "must name one disk"},
		"largest":       {func(o *Options) { o.Spec.Erase = "largest" }, "no disk is named"},
		"path":          {func(o *Options) { o.Spec.Erase = dev }, "may be another disk at the next boot"},
		"another kind":  {func(o *Options) { o.Spec.Kind = job.Install }, "unknown kind"},
		"no ID":         {func(o *Options) { o.Spec.ID = "1" }, "not a UUID"},
		"unknown level": {func(o *Options) { o.Spec.Level = "destroy" }, "not a level"},
		"another size":  {func(o *Options) { o.Disks[0].Size++ }, "is now another disk"},
		"other sectors": {func(o *Options) { o.Disks[0].SectorSize = 4096 }, "is now another disk"},
		"another serial": {func(o *Options) { o.Serial = func(string) (string, error) { return "X", nil } },
			"its serial is"},
		"no purge": {func(o *Options) { o.Spec.Level = job.Purge }, "no command that purges it; --level clear"},
		"server is away": {func(o *Options) { o.Report.(*reporter).refuse = os.ErrDeadlineExceeded },
			"reporting the disk"},
		"two of the name": {func(o *Options) {
			o.Disks = append(o.Disks, job.Disk{Path: "/dev/x", Serial: d.Serial,
				Size: 1})
		}, "2 disks are named"},
	} {
		r := &reporter{}
		o := options(r, d.Serial, d)
		c.change(&o)
		cert, err := Run(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), c.want) || cert.Result != "" {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if e := r.last(); e.State != job.Failed || e.Certificate != nil ||
			!strings.HasSuffix(e.Message, "nothing was written to disk") {
			t.Errorf("%s: the last event is %+v", name, e)
		}
	}
	if !bytes.Equal(read(t, dev), kept) {
		t.Fatal("a refused erase wrote to the disk")
	}

	disktest.Tool(t, "mkfs.ext4", "-q", "-F", dev)
	dir := t.TempDir()
	if err := unix.Mount(dev, dir, "ext4", unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	_, err := Run(t.Context(), options(&reporter{}, d.Serial, d))
	if e := unix.Unmount(dir, 0); e != nil {
		t.Fatal(e)
	}
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("mounted: %v", err)
	}
	ro := exec.Command("blockdev", "--setro", dev)
	if out, err := ro.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := Run(t.Context(), options(&reporter{}, d.Serial, d)); !errors.Is(err, ErrRefused) {
		t.Errorf("read-only: %v", err)
	}
	disktest.Tool(t, "blockdev", "--setrw", dev)
}

// TestDiscard discards a loop device, which punches holes: all of it reads as zeros.
func TestDiscard(t *testing.T) {
	const size = 12 << 20
	dev, other := disktest.Loop(t, size, 512), disktest.Loop(t, size, 512)
	write(t, dev, size)
	kept := write(t, other, size)
	o := options(&reporter{}, "S-"+filepath.Base(dev), listed(dev, size, 512), listed(other, size, 512))
	o.Spec.Level = job.Discard
	c, err := Run(t.Context(), o)
	if err != nil || c.Level != job.Discard || c.Method != "discard" || c.Verified.Way != job.EraseReadAll ||
		!c.Verified.Zeros || c.Verified.Bytes != size {
		t.Errorf("%v, %+v", err, c)
	}
	if !bytes.Equal(read(t, dev), make([]byte, size)) || !bytes.Equal(read(t, other), kept) {
		t.Error("the disk is not zero, or the other one changed")
	}
	// A disk without it says so, and is not overwritten instead.
	m := filled(size)
	o = options(&reporter{}, "S-m", listed("/dev/m", size, 512))
	o.Spec.Level, o.Open = job.Discard, func(string) (Device, error) { return m, nil }
	if _, err := Run(t.Context(), o); !errors.Is(err, unix.EOPNOTSUPP) || m.disk[0] == 0 || !m.closed {
		t.Errorf("without discard: %v", err)
	}
}

// TestSecureDiscard: a loop device has none, and the kernel says so.
func TestSecureDiscard(t *testing.T) {
	d, err := Open(disktest.Loop(t, 1<<20, 512))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.SecureDiscard(); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("%v", err)
	}
	if _, err := d.NVMe(); err == nil {
		t.Error("a loop device is an NVMe disk")
	}
	if _, err := d.ATA().Look(); err == nil {
		t.Error("a loop device is an ATA disk")
	}
}

// own is a disk in memory with commands of its own.
type own struct {
	*memory
	drive nvme.Drive
	ata   ata.Drive
}

func (o own) NVMe() (nvme.Drive, error) { return o.drive, nil }
func (o own) ATA() ata.Drive            { return o.ata }

// nvmeDisk is a disk with the sanitize actions of can and Format NVM. lies has it report success without erasing.
func nvmeDisk(m *memory, can uint32, lies bool, refuse ...byte) own {
	state, asked := uint16(0), 0
	erase := func() {
		if !lies {
			clear(m.disk)
		}
	}
	return own{memory: m, drive: nvme.Drive{Namespace: 1, Pause: 1, Do: func(c nvme.Command) (uint16, error) {
		le := binary.LittleEndian
		if bytes.IndexByte(refuse, c.Opcode) >= 0 {
			return 1, nil
		}
		switch c.Opcode {
		case 0x06:
			switch c.Words[0] {
			case 0:
				le.PutUint64(c.Data, 1)
			case 1:
				le.PutUint16(c.Data[256:], 2)
				le.PutUint32(c.Data[328:], can)
			case 2:
				le.PutUint32(c.Data, 1)
			}
		case 0x02:
			if asked++; state == 2 && asked > 3 {
				state = 1
			}
			le.PutUint16(c.Data[2:], state)
		case 0x80:
			erase()
		case 0x84:
			state, asked = 2, 0
			erase()
		}
		return 0, nil
	}}}
}

// TestOwnCommands: a disk erases itself by the best that it has; what is refused, or is a lie, is noted, and the next
// way is taken.
func TestOwnCommands(t *testing.T) {
	const size = 8 << 20
	for name, c := range map[string]struct {
		can    uint32
		lies   bool
		refuse []byte
		level  job.EraseLevel
		method string
		notes  string
		wrong  string
	}{
		"sanitize":     {can: 2, method: "nvme-sanitize-block"},
		"crypto alone": {can: 1, level: job.Purge, method: "nvme-sanitize-crypto"},
		"format":       {method: "nvme-format-user"},
		"sanitize is refused": {can: 2, refuse: []byte{0x84}, method: "nvme-format-user",
			notes: "NVMe Sanitize, block: NVMe command 84h"},
		"all is refused": {can: 2, refuse: []byte{0x84, 0x80}, method: "overwrite",
			notes: "NVMe command 80h"},
		"it does not erase":        {can: 2, lies: true, method: "overwrite", notes: "places still have their data"},
		"it does not, and must":    {can: 2, lies: true, level: job.Purge, wrong: "places still have their data"},
		"it can, and is not asked": {can: 2, level: job.Clear, method: "overwrite"},
		"it cannot be asked":       {refuse: []byte{0x06}, method: "overwrite", notes: "not asked to erase itself"},
	} {
		d := listed("/dev/nvme9n1", size, 512)
		d.Bus = "nvme"
		m := filled(size)
		o := options(&reporter{}, d.Serial, d)
		o.Spec.Level = c.level
		o.Open = func(string) (Device, error) { return nvmeDisk(m, c.can, c.lies, c.refuse...), nil }
		cert, err := Run(t.Context(), o)
		notes := strings.Join(cert.Notes, "; ")
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) || cert.Result != job.EraseFailed {
				t.Errorf("%s: %v, %+v", name, err, cert)
			}
			continue
		}
		if err != nil || cert.Method != c.method || !strings.Contains(notes, c.notes) || cert.Result != job.Erased ||
			!bytes.Equal(m.disk, make([]byte, size)) {
			t.Errorf("%s: %v, %+v", name, err, cert)
		}
		if purged := c.method != "overwrite"; purged && (cert.Level != job.Purge || cert.Verified.Same != 0 ||
			cert.Verified.Data == 0 || cert.Verified.Way != job.EraseReadSamples) {
			t.Errorf("%s: %+v", name, cert)
		}
	}
}

// TestFrozen: a disk whose security is frozen is overwritten, and the certificate says why and what helps. To purge it
// is refused with the same words.
func TestFrozen(t *testing.T) {
	const size = 8 << 20
	frozen := ata.Drive{Do: func(c ata.Command) (ata.Answer, error) {
		if c.Op == 0xec {
			binary.LittleEndian.PutUint16(c.In[2*128:], 0x29)
			return ata.Answer{}, nil
		}
		return ata.Answer{}, errors.New("no command is expected")
	}}
	d := listed("/dev/sdz", size, 512)
	d.Bus = "sata"
	m := filled(size)
	o := options(&reporter{}, d.Serial, d)
	o.Open = func(string) (Device, error) { return own{memory: m, ata: frozen}, nil }
	c, err := Run(t.Context(), o)
	if err != nil || c.Method != "overwrite" || !strings.Contains(strings.Join(c.Notes, ""), "unplug its power") {
		t.Errorf("%v, %+v", err, c)
	}
	o.Spec.Level, o.Report = job.Purge, &reporter{}
	if _, err := Run(t.Context(), o); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(),
		"unplug its power") {
		t.Errorf("purge: %v", err)
	}
}

// TestHidden: an overwrite does not reach what the disk hides, and says so.
func TestHidden(t *testing.T) {
	const size = 8 << 20
	drive := ata.Drive{Do: func(c ata.Command) (ata.Answer, error) {
		if c.Op == 0xec {
			for word, v := range map[int]uint16{82: 0x400, 83: 0x4400, 100: size / 512} {
				binary.LittleEndian.PutUint16(c.In[2*word:], v)
			}
		}
		return ata.Answer{LBA: size/512 + 2047}, nil
	}}
	d := listed("/dev/sdz", size, 512)
	d.Bus = "sata"
	o := options(&reporter{}, d.Serial, d)
	o.Open = func(string) (Device, error) { return own{memory: filled(size), ata: drive}, nil }
	c, err := Run(t.Context(), o)
	if err == nil || c.Result != job.EraseIncomplete || !strings.Contains(c.Reason, "hides 1.05 MB behind its end") {
		t.Errorf("%v, %+v", err, c)
	}
}

// TestIncomplete: a disk with a place that cannot be written is erased all around it, and the certificate says how much
// is missing.
func TestIncomplete(t *testing.T) {
	const size = 8 << 20
	m := filled(size)
	m.bad = map[int64]error{5 << 20: unix.EIO}
	o := options(&reporter{}, "S-m", listed("/dev/m", size, 512))
	r := o.Report.(*reporter)
	o.Open = func(string) (Device, error) { return m, nil }
	c, err := Run(t.Context(), o)
	if err == nil || c.Result != job.EraseIncomplete || c.Unwritten != block || c.Verified.Unreadable != block ||
		r.last().State != job.Failed || r.last().Certificate.Result != job.EraseIncomplete {
		t.Errorf("%v, %+v", err, c)
	}
}
