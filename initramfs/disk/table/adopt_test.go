package table

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"griddle/initramfs/disk/content"
)

const firstJob, secondJob = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab", "6c2f0a4e-7a1c-4d3e-9f00-0123456789ab"

// A finished install goes to another job: the table is whole and otherwise the same.
func TestAdopt(t *testing.T) {
	for _, sector := range []int{512, 4096} {
		const size = 512 << 20
		file := filepath.Join(t.TempDir(), "disk")
		if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, size)); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(file, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		l, err := WholeDisk(firstJob, size, sector)
		if err == nil {
			err = l.Write(f, content.Content{})
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := Adopt(f, size, sector, firstJob, secondJob); err == nil {
			t.Error("an unfinished install was adopted")
		}
		if err := Mark(f, size, sector, firstJob); err != nil {
			t.Fatal(err)
		}
		before, err := content.Inspect(f, size, sector)
		if err != nil {
			t.Fatal(err)
		}
		if err := Adopt(f, size, sector, secondJob, firstJob); err == nil {
			t.Error("the install of another job was adopted")
		}
		if err := Adopt(f, size, sector, firstJob, secondJob); err != nil {
			t.Fatal(err)
		}
		after, err := content.Inspect(f, size, sector)
		if err != nil || after.Finished() != secondJob || after.Damaged != "" ||
			len(after.Partitions) != len(before.Partitions) {
			t.Fatalf("after it the disk has %+v, %v", after, err)
		}
		for i, p := range after.Partitions {
			if p != before.Partitions[i] {
				t.Errorf("partition %+v was %+v", p, before.Partitions[i])
			}
		}
	}
}
