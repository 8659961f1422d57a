package approval

// FitsDialogue is replaced when the deed lands.
func (c Card) FitsDialogue() bool { return true }
