package publish

import (
	"encoding/json"
	"fmt"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/appliance/setting"
	"griddle/appliance/setting/settingfile"
	"griddle/cloud/yamltree"
	"griddle/imagestore/document"
	"griddle/imagestore/template"
)

// settingsOf makes the settings of an image from the bytes of template.SettingsFile; nil for none. Mistakes and secrets
// are errors with their places.
func settingsOf(b []byte) (json.RawMessage, error) {
	if b == nil {
		return nil, nil
	}
	f, err := settingfile.Parse(template.SettingsFile, b)
	var s setting.Settings
	if err == nil {
		_, s, err = settingfile.Resolve(setting.PartOfMachine, f)
	}
	if err == nil {
		err = secrets(f, s)
	}
	if err != nil {
		return nil, cli.WithHint(fmt.Errorf("reading the settings of the template:\n%w", err),
			"Correct them in the template, and publish it again.")
	}
	if f.Empty() {
		return nil, nil
	}
	out, err := json.Marshal(f.Document)
	if err == nil && len(out) > document.MaxSettings {
		err = fmt.Errorf("%s: as JSON it has %d bytes, the limit is %d", f.Name, len(out), document.MaxSettings)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the settings of the template: %w", err)
	}
	return out, nil
}

// secrets refuses settings with secrets: anyone who can read the image can read them.
func secrets(f settingfile.File, s setting.Settings) error {
	var faults yamltree.Faults
	for _, place := range s.Secrets() {
		faults = append(faults, yamltree.Fault{Place: f.Where(place), Path: place,
			Text: "it is secret, and an image is public",
			Hint: "remove it here, and give it in the settings of the site or of the machine"})
	}
	return faults.Sorted().Err()
}

// SettingsText are the lines of `griddle image show`: one for each value of an image's settings.
func SettingsText(b json.RawMessage) []string {
	if b == nil {
		return nil
	}
	d, err := setting.Decode("the image", b)
	if err != nil {
		return []string{"not valid here: " + job.Sentence(err.Error())}
	}
	var out []string
	for _, v := range setting.Merge(d).Values() {
		out = append(out, job.Sentence(v.Place+" = "+v.Text))
	}
	return out
}
