"""The actions of this app and who may do them."""
