package resident

import (
	"griddle/appliance/job"
	jump "griddle/initramfs/kexec/attempt"
)

// settle finds out whether the last start by kexec came up. Other parts of the system may have done so before.
func (s *service) settle() {
	if _, err := jump.Settle(s.at.Folder, s.Started); err != nil {
		s.Log.Warn("what became of a start by kexec is not written down", "error", err)
	}
}

// kexec adds to a check-in what is known of the last start by kexec. While one is about to happen nothing is.
func (s *service) kexec(in *job.CheckIn) {
	a, err := jump.Read(s.at.Folder)
	if err != nil || a != nil && a.State == jump.Tried {
		return
	}
	in.Features = append(in.Features, job.FeatureKexec)
	if a != nil {
		in.Kexec = &job.Kexec{Time: a.Time, Root: a.Root, Failed: a.State == jump.Failed}
	}
}
