package install

import (
	"errors"
	"strings"
	"testing"

	"griddle/initramfs/disk/disktest"
)

const onVolumes = `version: 1
disks:
  - id: a
    match: {serial: D1}
    partitions:
      - {id: esp, use: esp}
      - {id: pool, use: pool, size: 850M}
      - {id: home-a, use: raid, size: 64M}
  - id: b
    match: {serial: D2}
    partitions:
      - {id: home-b, use: raid, size: 64M}
      - {id: pv, use: lvm, size: 64M}
raid:
  - {id: home, level: 1, devices: [home-a, home-b], use: home}
lvm_volgroup:
  - {id: vg0, devices: [pv], lvm_partitions: [{id: srv, size: rest, use: data, mount: /srv}]}
`

// An image without mdadm and lvm would start, and not find its /home. It is refused before anything is written.
func TestVolumesNeedPrograms(t *testing.T) {
	o := options(t)
	first, second := disktest.Loop(t, 1300<<20, 512), disktest.Loop(t, 256<<20, 512)
	for want, files := range map[string]map[string]string{
		"has no program mdadm, by which its system would start": {"usr/sbin/lvm": "a program"},
		"has no program lvm, by which its system would start":   {"usr/sbin/mdadm": "a program"},
	} {
		files["boot/vmlinuz-6.1.0-9-amd64"] = "a kernel"
		img := publish(t, func(dir string) { put(t, dir, files) })
		k, j := &keeper{}, &journal{}
		s, disks := divideJob(t, &o, k, onVolumes, first, second)
		before := sum(t, first) + sum(t, second)
		err := Run(t.Context(), s, img, disks, j, o)
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("Run = %v, want a refusal with %q", err, want)
		}
		if sum(t, first)+sum(t, second) != before || len(k.all) > 0 || len(j.started) > 0 {
			t.Errorf("%s: something was written: %d records, started on %v", want, len(k.all), j.started)
		}
	}
}
