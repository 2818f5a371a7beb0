package fleet

// Reconfigure takes the policy for unknown machines, the enrolment, the hostname pattern, the kernel arguments, the
// interval of check-ins, the use of kexec and the age of events from o and ignores the rest. They apply from the next
// boot, check-in and
// new machine on. It may be called at any time.
func (f *Fleet) Reconfigure(o Options) {
	next := f.o
	next.Unknown, next.Enrolment, next.Hostname, next.Args = o.Unknown, o.Enrolment, o.Hostname, o.Args
	next.Kexec, next.Runs, next.KeepEvents = o.Kexec, o.Runs, o.KeepEvents
	if next.CheckIn = o.CheckIn; next.CheckIn == 0 {
		next.CheckIn = defaultCheckIn
	}
	if next.Unknown == "" {
		next.Unknown = OfferMenu
	}
	if next.Hostname == "" {
		next.Hostname = defaultPattern
	}
	f.newer.Store(&next)
}

// options are those of Open, with what Reconfigure changed.
func (f *Fleet) options() Options {
	if o := f.newer.Load(); o != nil {
		return *o
	}
	return f.o
}
