package facts

import (
	"context"
	"os"

	"griddle/appliance/job"
	"griddle/initramfs/disk/content"
	"griddle/initramfs/ntfs"
	"griddle/initramfs/windows"
)

func ofNTFS(ctx context.Context, f *os.File, size int64) (content.Facts, error) {
	v, err := ntfs.Look(ctx, f.Name())
	if err != nil {
		return content.Facts{}, err
	}
	found := content.Facts{Used: v.Used, Minimum: min(v.Minimum, size), Unfit: unfit(v.Refusals)}
	if v.System {
		found.System = "Windows"
		if s, err := windows.Ask(ctx, f.Name()); err == nil {
			found.System = s.String()
		}
	}
	return found, nil
}

// unfit is why a volume must not be changed, "" if nothing is known: that it is marked for a check counts least, since
// Windows is started for every other reason too.
func unfit(refusals []ntfs.Refusal) string {
	why := ""
	for _, r := range refusals {
		switch r.Reason {
		case ntfs.Hibernated:
			return job.Hibernated
		case ntfs.Unclean:
			return job.Unclean
		case ntfs.Dirty:
			if why == "" {
				why = job.Dirty
			}
		default:
			why = job.Sentence(r.Error())
		}
	}
	return why
}
