package tui

// What the help says of each page.
const (
	aboutStart = "The machine started from the network and looks for the Griddle server. Each line is a step. A step " +
		"that failed says what helps, and is tried again. No key is needed."
	aboutWelcome = "What this machine is, and what you can do with it. \"Install an image\" asks four questions, and " +
		"writes nothing before you answer the last one. An operator at the server can start an install too: then " +
		"this page goes away, and no key is needed."
	aboutImage = "The images of the server. SIZE is the size of the files on the disk, TRANSFER what comes over the " +
		"network. The parts below show all of the chosen image, and which images cannot be installed and why."
	aboutDisk = "The disks of this machine. The part below shows what is on the chosen one. The maker of a disk " +
		"counts in GB (10^9 bytes), most systems in GiB (2^30 bytes): 1 TB is 931 GiB. Nothing is written yet."
	aboutMethod = "How the disk is used. Nothing is written yet."
	aboutWays   = "How the disk is used. The first line that this disk offers loses least. A line with \"no:\" is " +
		"one that it does not offer: choose it to see all of the reason. The lowest part shows the disk today and " +
		"tomorrow, to scale. Nothing is written yet."
	aboutPlan = "The last page: what becomes of the disk. LOST is gone afterwards, smaller is what gets less space, " +
		"new is what is made. Below are the partitions, what stays, and each step. If something is lost, type the " +
		"name of the disk. Nothing is written before that. Up and Down scroll the plan."
	aboutConfirm = "The last question. Read what will be lost, and type the name of the disk. Nothing is written " +
		"before that. Up and Down scroll the list of what will be lost."
	aboutProgress = "The job runs and needs no key. [ ok ] is done, [ >> ] runs, [FAIL] failed. The line above the " +
		"keys says what a stop leaves, for example a power cut. Page Up and Page Down scroll the messages. After a " +
		"stop, start the machine from the network again."
	aboutWaiting = "The settings of this machine have secrets. The server gives them out only after an operator " +
		"compared the code on this screen. Nothing was written to the disk."
	aboutHook = "A program of the image or of the settings failed. You can correct the cause in a shell and run it " +
		"again, skip it, or give up."
	aboutResult = "How the job ended."
)
