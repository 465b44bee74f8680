package local

import "golang.org/x/sys/unix"

// hazards says, by the kind of a file system, why a store should not lie on it.
var hazards = map[int64]string{
	unix.TMPFS_MAGIC:           "it is in memory (tmpfs): a restart of the machine loses every event",
	unix.RAMFS_MAGIC:           "it is in memory (ramfs): a restart of the machine loses every event",
	unix.OVERLAYFS_SUPER_MAGIC: "it is a container's own layer (overlayfs): the events go with the container; mount a volume",
	unix.NFS_SUPER_MAGIC:       "it is on the network (nfs): locks and syncs may not hold what they promise",
	unix.SMB_SUPER_MAGIC:       "it is on the network (smb): locks and syncs may not hold what they promise",
	unix.SMB2_SUPER_MAGIC:      "it is on the network (smb): locks and syncs may not hold what they promise",
	unix.CIFS_SUPER_MAGIC:      "it is on the network (cifs): locks and syncs may not hold what they promise",
	unix.AFS_SUPER_MAGIC:       "it is on the network (afs): locks and syncs may not hold what they promise",
	unix.CEPH_SUPER_MAGIC:      "it is on the network (ceph): locks and syncs may not hold what they promise",
	unix.V9FS_MAGIC:            "it is shared by a host (9p): locks and syncs may not hold what they promise",
	unix.FUSE_SUPER_MAGIC:      "a program provides it (fuse): locks and syncs may not hold what they promise",
}

// hazard says why a store should not lie in dir; "" if nothing speaks against it.
func hazard(dir string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return ""
	}
	return hazards[int64(st.Type)&0xffffffff] //nolint:unconvert // the type differs between architectures
}
