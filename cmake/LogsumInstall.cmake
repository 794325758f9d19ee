# SPDX-License-Identifier: Apache-2.0
# cmake --install: headers, one library, a CMake package (logsum::logsum for C++, logsum::c for C)
# and pkg-config.
include(CMakePackageConfigHelpers)

add_library(logsum_c INTERFACE)
add_library(logsum::c ALIAS logsum_c)
set_target_properties(logsum_c PROPERTIES EXPORT_NAME c)
target_link_libraries(logsum_c INTERFACE logsum)

install(TARGETS logsum logsum_c EXPORT logsum-targets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/logsum DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(LOGSUM_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/logsum)
install(EXPORT logsum-targets NAMESPACE logsum:: DESTINATION ${LOGSUM_PACKAGE_DIR})
configure_package_config_file(cmake/logsum-config.cmake.in ${PROJECT_BINARY_DIR}/logsum-config.cmake
                              INSTALL_DESTINATION ${LOGSUM_PACKAGE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/logsum-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/logsum-config.cmake
              ${PROJECT_BINARY_DIR}/logsum-config-version.cmake
        DESTINATION ${LOGSUM_PACKAGE_DIR})

if(LOGSUM_CUDA)
  set(LOGSUM_PRIVATE_CUDA " -L${CUDAToolkit_LIBRARY_DIR} -lcudart_static -lrt -lpthread -ldl")
endif()
configure_file(cmake/logsum.pc.in ${PROJECT_BINARY_DIR}/logsum.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/logsum.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
