package care

// What the help says of each page.
const (
	aboutLooking = "The disks of this machine are searched for pools of installed systems."
	aboutPools   = "Each pool belongs to the installed system of one disk. Choose the disk."
	aboutForms   = "What can be changed in the installed system. Nothing changes before you have filled in the next " +
		"page."
	aboutForm = "Type the values, one after the other: Up, Down and Tab go from one to the next. Enter on the last " +
		"one does it. Values that are not needed may stay empty."
	aboutList = "The roots and images on this disk. A root is an installed system; the machine can start each of " +
		"them. An image is what roots and updates are made from."
	aboutEntry   = "What can be done with it. What is not possible says why."
	aboutConfirm = "Deleting it cannot be undone. Read what will be lost, and type the name. Up and Down " +
		"scroll the list."
	aboutWorking = "The change runs. It needs no key."
	aboutResult  = "What was done."
)
