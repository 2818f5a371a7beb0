package firstboot

import (
	"reflect"
	"strings"
	"testing"

	"griddle/cloud/userdata"
)

// TestDeclaredStays pins a digest: another one would have every server of every stack be made again.
func TestDeclaredStays(t *testing.T) {
	got, err := Declared(parse(t, file), Options{ReadFile: files})(parse(t, file).Servers[0])
	if want := "83076b4db27812d104eb7927152e08aad2ce30e5c4f4c1459310c54ca9682518"; got != want || err != nil {
		t.Errorf("Declared = %s, %v, want %s", got, err, want)
	}
}

// TestUsersOfUserDataAreLetIn has user-data declare users: those with keys are in sshd's AllowUsers.
func TestUsersOfUserDataAreLetIn(t *testing.T) {
	text := strings.Replace(file, "{path: more.sh}", `{path: users.yaml}`, 1)
	o := Options{ReadFile: func(name string) ([]byte, error) {
		if name != "users.yaml" {
			return files(name)
		}
		return []byte("#cloud-config\nssh_authorized_keys: [" + publicKey("top") + "]\nusers:\n" +
			"- {name: deploy, ssh_authorized_keys: ['" + publicKey("deploy") + "'], sudo: 'ALL=(ALL) NOPASSWD:ALL'}\n" +
			"- {name: imported, ssh_import_id: [gh:someone]}\n" +
			"- {name: eve, shell: /bin/sh, ssh_authorized_keys: ['" + publicKey("eve2") + "']}\n" +
			"- {name: service, system: true}\n- {name: locked, passwd: $6$x}\n" +
			"- {name: root, ssh_authorized_keys: ['" + publicKey("root") + "']}\n" +
			"- {name: 'a*', ssh_authorized_keys: ['" + publicKey("star") + "']}\n- default\n"), nil
	}}
	s := parse(t, text)
	m, err := Merge(s, s.Servers[0], o, asWritten)
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Render(userdata.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := "AllowUsers ops eve deploy imported\n"; !strings.Contains(string(b), want) &&
		!strings.Contains(flat(m), want) {
		t.Errorf("there is no %q in\n%s", want, flat(m))
	}
	got, notes := Logins(s, s.Servers[0], o)
	if want := []Login{{"deploy", true}, {"imported", false}}; !reflect.DeepEqual(got, want) {
		t.Errorf("Logins = %+v, want %+v", got, want)
	}
	for _, want := range []string{"default user", `"locked" of user-data has a password`, "ssh keys to root",
		`"a*" of user-data is not let in`} {
		if !strings.Contains(strings.Join(notes, "\n"), want) {
			t.Errorf("notes are %q, want %q among them", notes, want)
		}
	}
	if len(notes) != 4 {
		t.Errorf("notes are %q", notes)
	}
}

// flat is all files of merged user-data as text.
func flat(m *userdata.Merged) string {
	var out strings.Builder
	files, _ := m.Config["write_files"].([]any)
	for _, f := range files {
		e, _ := f.(map[string]any)
		text, _ := e["content"].(string)
		out.WriteString(text)
	}
	return out.String()
}

// TestUsersOfSeveralParts has one file hold several parts: users of a document in it are let in, and those of a
// template are said not to be.
func TestUsersOfSeveralParts(t *testing.T) {
	text := strings.Replace(file, "{path: more.sh}", `{path: parts.yaml}`, 1)
	o := Options{ReadFile: func(name string) ([]byte, error) {
		if name != "parts.yaml" {
			return files(name)
		}
		return []byte("#cloud-config-archive\n- |\n  #!/bin/sh\n  true\n- users:\n  - x\n" +
			"- |\n  #cloud-config\n  users: [{name: deploy, ssh_authorized_keys: ['" + publicKey("deploy") + "']}]\n" +
			"- |\n  ## template: jinja\n  #cloud-config\n  users: [{name: late}]\n"), nil
	}}
	s := parse(t, text)
	if _, err := Merge(s, s.Servers[0], o, asWritten); err == nil ||
		!strings.Contains(err.Error(), "parts.yaml: entry 2: it has no content") {
		t.Errorf("Merge of an entry that is not one = %v", err)
	}
	whole := o.ReadFile
	o.ReadFile = func(name string) ([]byte, error) {
		b, err := whole(name)
		return []byte(strings.Replace(string(b), "- users:\n  - x\n", "", 1)), err
	}
	got, notes := Logins(s, s.Servers[0], o)
	if want := []Login{{"deploy", false}}; !reflect.DeepEqual(got, want) {
		t.Errorf("Logins = %+v, want %+v", got, want)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "a template or an #include") {
		t.Errorf("notes are %q", notes)
	}
}
