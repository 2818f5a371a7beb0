package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLayouts(t *testing.T) {
	const list = `! model
  pc105           Generic 105-key PC

! layout
  us              English (US)
  de              German
  brai            Braille
  ru              Russian
  custom          A user-defined custom Layout

! variant
  chr             us: Cherokee
`
	got := layouts(list)
	want := []layout{{"de", "de", ""}, {"ru", "ru", ""}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(layout{})); diff != "" {
		t.Errorf("layouts (-want +got):\n%s", diff)
	}
	if got := layouts("! model\n pc105 x\n"); len(got) != 0 {
		t.Errorf("layouts of a list without any = %v", got)
	}
}

func TestVariantsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range variants() {
		if seen[v.name] {
			t.Errorf("two keymaps are called %s", v.name)
		}
		seen[v.name] = true
	}
}

func TestUnder(t *testing.T) {
	files := map[string][]byte{"grub/x86_64-efi/a": []byte("1"), "grub.cfg": nil, "keymaps/de.bmap": nil}
	if diff := cmp.Diff(map[string][]byte{"x86_64-efi/a": []byte("1")}, under("grub", files)); diff != "" {
		t.Errorf("under (-want +got):\n%s", diff)
	}
}
