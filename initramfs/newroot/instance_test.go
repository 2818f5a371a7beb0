package newroot

import (
	"os"
	"testing"

	"griddle/appliance/job"
	"griddle/appliance/setting"
	"griddle/initramfs/sysroot"
)

// A root has the instance ID of the seed that was left there; what is not one does not count.
func TestInstance(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	m := &making{Dir: sysroot.Dir{Root: root}}
	if got := Instance(m.Dir); got != "" {
		t.Errorf("a root without a seed is the instance %q", got)
	}
	const id = "5b2f0a4e-7a1c-4d3e-9f00-0123456789ab"
	files, err := seedOf(job.Spec{ID: id}, "lab-1", setting.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.giveSeed(files, false); err != nil {
		t.Fatal(err)
	}
	if got := Instance(m.Dir); got != id {
		t.Errorf("Instance() = %q, want %q", got, id)
	}
	for _, text := range []string{"", "instance-id: x\n", `{"instance-id": "a b"}`, `{"instance-id": 7}`, "\x00"} {
		if err := m.Write(seedFolder+"/meta-data", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := Instance(m.Dir); got != "" {
			t.Errorf("with the meta-data %q a root is the instance %q", text, got)
		}
	}
}
