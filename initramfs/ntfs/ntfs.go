// Package ntfs shrinks the NTFS volume of a Windows, so that other systems have room beside it.
//
// Call Look first: it says what the volume is, how small it can be, and why it cannot be shrunk, with what to do in
// Windows. Relocations says how much data a size would move. Shrink shrinks it. Then the caller changes the partition
// table, and calls Prove. After a crash, Recognise says what a Shrink left; Shrink continues it where that is safe, and
// Repair makes a volume readable that no system can open.
//
// Shrink records each step in a journal before it begins:
//
//	save -> try -> resize -> prove -> shrunk        then the caller changes the table
//	        (a dry run)
//
// What a crash leaves, in each step:
//
//	save, try        the volume as it was
//	resize           unchanged; or stale: all files, and a map of free clusters that only Windows can correct;
//	                 or split: $MFTMirr is half moved or half written, and Repair makes it stale or unchanged;
//	                 or almost: only the boot sector is missing, and Repair writes it; or shrunk
//	prove, shrunk    shrunk
//
// Shrink never moves $MFT and $MFTMirr, since a volume with a half moved one cannot be opened by any system.
//
// It guarantees: Look, Relocations, Recognise and Prove change nothing. Nothing is written before all checks have
// passed. A resize that has begun is not killed, whatever happens to the caller. A power cut leaves no more than a kill
// does: data is on the disk before the record that names it (see barrier). While ntfsresize runs, no one can mount the
// volume, also not after its caller was killed. Two things are not protected: a disk that writes half of a record when
// its power fails, and power that fails after the caller was killed, while ntfsresize runs alone.
//
// The programs are ntfs-3g.probe and ntfsresize of Debian's ntfs-3g 2022.10.3. They run without a shell, with limits of
// time and output while they look. What they print is parsed strictly, and so are the bytes of a volume (package
// volume).
//
// Sources: ntfsresize.c and ntfs-3g.probe.c of ntfs-3g 2022.10.3.
package ntfs
