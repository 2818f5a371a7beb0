package appliance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// missingTools says why machines cannot get the tools archive that their boot image names: an archive of another build,
// or none. It is nil for boot files of before there was one. mkboot writes both: buildName is an initramfs.Build.
func missingTools(bootDir string) error {
	doc, err := os.ReadFile(filepath.Join(bootDir, buildName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for the tools archive: %w", err)
	}
	var build struct {
		Tools *struct {
			SHA256 string `json:"sha256"`
			Size   int64  `json:"size"`
		} `json:"tools"`
	}
	if err := json.Unmarshal(doc, &build); err != nil {
		return fmt.Errorf("looking for the tools archive: %s: %w", buildName, err)
	}
	if build.Tools == nil {
		return nil
	}
	file := filepath.Join(bootDir, "tools", build.Tools.SHA256+".cpio.zst")
	switch info, err := os.Stat(file); {
	case err != nil:
		return fmt.Errorf("the boot image in %s names a tools archive that it does not have: %w; run `make boot`, and "+
			"copy the whole directory", bootDir, err)
	case info.Size() != build.Tools.Size:
		return fmt.Errorf("%s has %d bytes, and the boot image names one with %d; run `make boot`, and copy the whole "+
			"directory", file, info.Size(), build.Tools.Size)
	}
	return nil
}
